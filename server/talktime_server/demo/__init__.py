"""The demo: real calls on a real service that lives for a few seconds. scenes.py is the story, and the place to begin."""

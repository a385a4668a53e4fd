"""Built-in facts as CSV files, and the developer's tool that derives some of them (README.md says
from what).
"""

"""The call-authorization service."""

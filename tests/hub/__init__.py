"""The Hub path, held against the real client and a small Hub of our own on loopback.

A fake proves how the client and we behave, not the real Hub's rules.
"""

"""Where weights come from.

A Hub repository, a folder or the embedded checkpoint enters, one verified local folder leaves.
Never imports `demo.generation`.
"""

"""Where weights come from.

A Hub repository, a folder or the embedded checkpoint enters, one verified local folder leaves.
Never imports `demo.generation`; only merging, difference and weights import torch, because a start
on a CPU does without it.
"""

"""The CPU engine: a checkpoint is exported once, and runs in a worker process.

Only runtime, export, graph and worker import OpenVINO: they run in processes of their own.
"""

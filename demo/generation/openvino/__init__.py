"""The engine for CPUs: OpenVINO GenAI in a child process."""

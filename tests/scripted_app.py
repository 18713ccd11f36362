"""Starts the real app with the scripted engine: `python -m tests.scripted_app`.

Knows how the app is launched; everything else is the app's own.
"""

import os
import sys

from demo.serving.service import ready
from demo.serving.settings import read_settings
from demo.ui.launch import launch
from tests.scripted import ScriptedEngine

if __name__ == "__main__":
    launch(ready(ScriptedEngine(), os.environ.get("NOTICE", "")), read_settings())
    sys.exit(0)

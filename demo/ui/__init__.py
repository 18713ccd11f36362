"""What a visitor sees.

An engine and the settings enter, a Gradio Blocks page leaves.
Must not know how text is generated nor where a checkpoint comes from.
"""

import os

# Gradio reads these while it is imported, and importing it from this package comes after.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

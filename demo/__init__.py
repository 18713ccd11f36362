"""The demo: a verified checkpoint, an engine over it, a server and its page."""

import os

# Gradio and the Hub client read these at import, which any module here may trigger.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

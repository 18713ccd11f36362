"""From an archive of tweets to a checkpoint: `python -m training VERB`.

An archive enters, a checkpoint folder leaves. One module a verb, in the order data flows:
prepare, finetune, evaluate. Must not know Gradio or how a checkpoint is served.
"""

import os

# OpenMP reads it when torch is imported. Threads that wait by spinning made a run several times
# slower as soon as anything else wanted one of its cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

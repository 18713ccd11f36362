"""From an archive of tweets to a checkpoint: `python -m training VERB`.

An archive enters, a checkpoint folder leaves. One module a verb, in the order data flows:
prepare, finetune, decoding, judges, compare, evaluate. Must not know Gradio or how a checkpoint is
served.
"""

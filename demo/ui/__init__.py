"""What a visitor sees and a program calls: a service and the persona enter, a Gradio page leaves.

Uses engines through `Service` and the `Engine` protocol alone; must not import `demo.launch`.
"""

"""The page: what visitors see and do, around ds4d. Gradio lives here and in app.py alone."""

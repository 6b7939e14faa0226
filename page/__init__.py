"""The Gradio page and its API around ds4d, which itself does not use Gradio."""

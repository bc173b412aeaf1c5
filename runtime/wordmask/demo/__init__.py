"""The local page that `wordmask demo` serves. Only `page` needs Gradio."""

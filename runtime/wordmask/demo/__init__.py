"""A page to play with: what `wordmask demo` serves. Only `page` needs Gradio."""

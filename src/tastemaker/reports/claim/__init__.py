"""One claim as Markdown and as one self-contained HTML page. No file access."""

"""Report as HTML, Markdown and terminal output."""

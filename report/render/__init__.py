"""The report as HTML, Markdown and terminal output."""

"""The report: every measurement, with a verdict for every file, as HTML, Markdown and JSON.

Importing this package loads none of its modules: every command reads ``content`` and ``tables``,
but only the page needs Matplotlib and Jinja2.
"""

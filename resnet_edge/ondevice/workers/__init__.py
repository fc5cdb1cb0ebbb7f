"""Parts of the work in processes of their own, and the one protocol that they speak.

A worker is a module that calls ``serving.serve``; ``calling.run_worker`` starts it and returns its
result. The parent writes the job to the worker's standard input, one line of JSON, and words for
``serving.Reporter.wait`` after it. The worker writes events to its standard output, one line of
JSON each (``events``). Everything else that it prints goes to standard error. The end of its
standard input tells a worker that its parent is gone.
"""

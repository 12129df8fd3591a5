"""The HTTP service: photos in a request, scores in the answer."""

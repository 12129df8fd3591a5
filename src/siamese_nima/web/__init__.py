"""Pages and services over HTTP, for the machine they run on unless told otherwise."""

"""The JSON of the API: one module per resource, with its schemas beside the functions that write them."""

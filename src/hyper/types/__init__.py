"""Wire records: the Docker Engine API's bodies and the image formats' documents. Pure."""

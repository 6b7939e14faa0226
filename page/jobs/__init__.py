"""Jobs of the page: storage, queue, worker process and the service that ties them together."""

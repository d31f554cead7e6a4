"""Programs on the author's side: the manifest, and the build of both container images."""

"""What has rules of its own: making a project, and the people in it."""

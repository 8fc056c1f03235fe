"""What makes the example site a demo: people, projects and a page that says where to begin."""

"""The only public HTTP of the project: intake, and the operations of all services as routes."""

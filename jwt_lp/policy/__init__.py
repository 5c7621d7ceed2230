"""The policy file: catalogue, roles, audiences, clients, compact form and differences."""

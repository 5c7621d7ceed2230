"""The policy file: catalogue, roles, audiences, clients, elevation rules, compact form and differences."""

"""Every measured claim of the project: each one command, results with commit, data hash and machine."""

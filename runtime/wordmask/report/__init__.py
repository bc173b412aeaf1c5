"""report.html: a finished run to look at. Made from what the run left, so that a continued run has it too."""

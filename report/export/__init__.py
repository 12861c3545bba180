"""The report's tables and figures as files, for papers, spreadsheets and notebooks."""

"""Export of the report's tables and figures to files, for papers, spreadsheets and notebooks."""

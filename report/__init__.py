"""Records to frame, statistics, figures and one page. Reads what runs left; never imports torch."""

"""`submit check`: what a cohort's files hold, as tables on a terminal and as a page with pictures."""

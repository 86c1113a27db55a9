"""Reading free words: names with typing errors, wishes, questions. Its readers never see what was meant."""

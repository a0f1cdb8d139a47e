# Reads a table of tests (patient, exam, arm, dice) and prints what R makes of it, as name, arm, value.
library(nlme)
library(boot)
file <- commandArgs(trailingOnly = TRUE)[1]
d <- read.csv(file)
margin <- 0.02
tell <- function(name, arm, value) cat(name, arm, sprintf("%.12g", value), sep = "\t", fill = TRUE)

by_exam <- aggregate(dice ~ patient + exam + arm, d, mean)
by_patient <- aggregate(dice ~ patient + arm, by_exam, mean)
wide <- reshape(by_patient, idvar = "patient", timevar = "arm", direction = "wide")
names(wide) <- sub("^dice\\.", "", names(wide))
arms <- setdiff(sort(unique(d$arm)), "reference")
reference <- wide[["reference"]]

p <- sapply(arms, function(arm) wilcox.test(wide[[arm]], reference, paired = TRUE, exact = TRUE)$p.value)
for (arm in arms) tell("wilcoxon", arm, p[[arm]])
holm <- p.adjust(p, "holm"); bh <- p.adjust(p, "BH")
for (arm in arms) { tell("holm", arm, holm[[arm]]); tell("benjamini-hochberg", arm, bh[[arm]]) }
for (arm in arms) {
  x <- wide[[arm]] - reference
  lower <- t.test(x, mu = -margin, alternative = "greater")$p.value
  upper <- t.test(x, mu = margin, alternative = "less")$p.value
  tell("equivalence", arm, max(lower, upper))
}
f <- friedman.test(as.matrix(wide[, c("reference", arms)]))
tell("friedman", "", f$statistic); tell("friedman p", "", f$p.value)

count <- nrow(by_exam)
d$y <- qlogis((d$dice * (nrow(d) - 1) + 0.5) / nrow(d))
e <- aggregate(y ~ patient + exam + arm, d, mean)
e$arm <- relevel(factor(e$arm), ref = "reference")
visits <- any(table(unique(e[, c("patient", "exam")])$patient) > 1)
e$visit <- factor(ave(as.integer(factor(e$exam)), e$patient, FUN = function(x) match(x, unique(x))))
blocks <- pdBlocked(list(pdIdent(~1), pdIdent(~ arm - 1), pdIdent(~ visit - 1)))
random <- if (visits) list(patient = blocks) else ~ 1 | patient
control <- lmeControl(opt = "optim", msTol = 1e-12, tolerance = 1e-12, maxIter = 500, msMaxIter = 500)
m <- lme(y ~ arm, random = random, data = e, method = "REML", control = control)
t <- summary(m)$tTable
for (arm in arms) {
  row <- t[paste0("arm", arm), ]
  tell("model estimate", arm, row[["Value"]]); tell("model error", arm, row[["Std.Error"]])
}

set.seed(1)
statistic <- function(x, i) c(mean(x[i]), var(x[i]) / length(i))
for (arm in arms) {
  x <- wide[[arm]] - reference
  ci <- boot.ci(boot(x, statistic, R = 9999), type = "stud")$student
  tell("interval low", arm, ci[4]); tell("interval high", arm, ci[5])
}
for (n in c(6, 9, 10, 25, 36, 100)) tell("signed-rank P(W <= n)", as.character(n), psignrank(n, n))

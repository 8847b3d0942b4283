# R's arrow and dplyr: Rscript arrow.R DATASET SPLIT PREDICTIONS
library(arrow)
library(dplyr)

args <- commandArgs(trailingOnly = TRUE)
images <- read_feather(file.path(args[1], args[2], "index.arrow"))
predicted <- read_feather(args[3])
joined <- predicted |>
  filter(is.na(error)) |>
  mutate(best = vapply(pred_synset, function(p) p[[1]], "")) |>
  select(path, best) |>
  inner_join(images, by = "path")
print(table(joined$synset, joined$best))
cat(nrow(joined), "images,", sum(joined$best == joined$synset), "right\n")

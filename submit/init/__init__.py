"""`submit init`: what a folder of images is, and a study file of it.

files       what lies in the folder
words       what the words of names say
identities  which parts of the names may be the patient, and which the exam
templates   paths with placeholders for these
reading     the files as a table of exams by roles; of all such tables the one that explains most
groups      folders of sites, and names that are in several
examples    a file of each role, opened
parts       which role is a channel, the labels, the mask
counting    the labels of all exams, read
joining     several roles as one pattern
metadata    names from a dataset.json or a challenge's coding
channels, classes, pieces
            the keys of the `[cohort]` table, and what is to be said of them
strays      what the patterns find beside, which is not meant
layout      from all of this to the table
text        the study file
command     the way from the folder to the file
"""

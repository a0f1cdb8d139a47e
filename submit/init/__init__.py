"""`submit init`: what a folder of images is, and a study file of it.

files       what lies in the folder
words       what the words of names say
identities  which parts of the names may be the patient, and which the exam
reading     the files as a table of exams and roles, for one of these; the table that explains most
contents    the numbers in the files
parts       which role is a channel, the labels, the mask
joining     roles as one pattern of the study file
metadata    dataset.json and the codings of known challenges
layout      all of it as one value
text        the study file
command     the way from the folder to the file
"""

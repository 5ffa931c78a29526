/*
 * temp_dir - a fresh directory of a test's own, and its end with all that is in it.
 */
#ifndef TEMP_DIR_H
#define TEMP_DIR_H

/* Fails the test if it cannot be made. */
void temp_dir_make(char out[static 64]);
void temp_dir_remove(const char *path);

#endif

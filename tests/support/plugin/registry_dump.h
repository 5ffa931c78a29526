/*
 * registry_dump - everything a registry holds, as text: two registries are equal when their dumps
 * are. Knows registry_internal.h.
 */
#ifndef KT_TEST_REGISTRY_DUMP_H
#define KT_TEST_REGISTRY_DUMP_H

#include "registry.h"

/* malloc'ed, NUL-terminated; aborts when out of memory. */
char *registry_dump(const struct kt_registry *registry);
/* Aborts with a message unless tables, pointers and counts agree with the rows. */
void registry_audit(const struct kt_registry *registry);

#endif

/*
 * bench_hold - how long a plugin's callbacks hold the broker's loop: for LD_AUDIT (rtld-audit(7)).
 *
 *   LD_AUDIT=bench_hold.so KT_HOLD_FILE=FILE KT_HOLD_PLUGIN=mosquitto_keyturn.so mosquitto ...
 *
 * What the plugin of that name calls mosquitto_callback_register is this file's, which registers a
 * function of its own for each event: it looks at the clocks, calls the plugin, and looks again.
 * FILE is an array of struct hold, one for each number of an event, which others may read and zero
 * at any time. The broker and the plugin are untouched and know nothing of it.
 *
 * A call holds the loop for the processor time that it uses; and for the time that it takes if it
 * has waited (a lock, a disk: the thread has given its processor away by itself). Being thrown off
 * the processor by others is not the plugin's, and not counted.
 */
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <mosquitto_broker.h>

#define EXPORTED __attribute__((visibility("default")))

enum { EVENTS = 32, ENTRIES = 64, LONG_NS = 2000000 };

struct hold {
	uint64_t calls;
	uint64_t total_ns;
	uint64_t longest_ns;
	uint64_t longest_cpu_ns;  /* without what was waited for */
	uint64_t longest_wall_ns; /* with what others did meanwhile */
	uint64_t long_count;	  /* over LONG_NS */
};

struct entry {
	mosquitto_plugin_id_t *identifier;
	int event;
	MOSQ_FUNC_generic_callback call;
	void *userdata;
};

/* The broker's own functions. */
typedef int (*register_function)(mosquitto_plugin_id_t *identifier, int event,
				 MOSQ_FUNC_generic_callback call, const void *event_data,
				 void *userdata);
typedef int (*unregister_function)(mosquitto_plugin_id_t *identifier, int event,
				   MOSQ_FUNC_generic_callback call, const void *event_data);

/* rtld-audit has no argument of ours. */
static struct {
	register_function broker_register;
	unregister_function broker_unregister;
	struct hold *hold;
	struct entry entry[ENTRIES];
	size_t count;
} audit;

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static long waits(void)
{
	struct rusage usage;

	(void)getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_nvcsw;
}

static void note(int event, uint64_t wall_ns, uint64_t cpu_ns, uint64_t held_ns)
{
	struct hold *hold = &audit.hold[event >= 0 && event < EVENTS ? event : 0];

	hold->calls++;
	hold->total_ns += held_ns;
	hold->long_count += held_ns > LONG_NS ? 1 : 0;
	if (held_ns > hold->longest_ns)
		hold->longest_ns = held_ns;
	if (cpu_ns > hold->longest_cpu_ns)
		hold->longest_cpu_ns = cpu_ns;
	if (wall_ns > hold->longest_wall_ns)
		hold->longest_wall_ns = wall_ns;
}

static int timed(int event, void *event_data, void *userdata)
{
	const struct entry *entry = userdata;
	const long waits_before = waits();
	const uint64_t cpu_before = now_ns(CLOCK_THREAD_CPUTIME_ID);
	const uint64_t wall_before = now_ns(CLOCK_MONOTONIC);
	const int rc = entry->call(event, event_data, entry->userdata);
	const uint64_t wall_ns = now_ns(CLOCK_MONOTONIC) - wall_before;
	const uint64_t cpu_ns = now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_before;

	note(entry->event, wall_ns, cpu_ns, waits() != waits_before ? wall_ns : cpu_ns);
	return rc;
}

static int register_timed(mosquitto_plugin_id_t *identifier, int event,
			  MOSQ_FUNC_generic_callback call, const void *event_data, void *userdata)
{
	struct entry *entry = &audit.entry[audit.count];

	if (audit.count == ENTRIES)
		return audit.broker_register(identifier, event, call, event_data, userdata);
	*entry = (struct entry){identifier, event, call, userdata};
	audit.count++;
	return audit.broker_register(identifier, event, timed, event_data, entry);
}

static int unregister_timed(mosquitto_plugin_id_t *identifier, int event,
			    MOSQ_FUNC_generic_callback call, const void *event_data)
{
	for (size_t i = 0; i < audit.count; i++) {
		if (audit.entry[i].identifier == identifier && audit.entry[i].event == event &&
		    audit.entry[i].call == call)
			return audit.broker_unregister(identifier, event, timed, event_data);
	}
	return audit.broker_unregister(identifier, event, call, event_data);
}

/* --- what the loader calls --- */

static struct hold *map_file(void)
{
	const char *path = getenv("KT_HOLD_FILE");
	const size_t len = EVENTS * sizeof(struct hold);
	int fd = path == NULL ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	void *map = MAP_FAILED;

	if (fd >= 0 && ftruncate(fd, (off_t)len) == 0)
		map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd >= 0)
		(void)close(fd);
	return map == MAP_FAILED ? NULL : map;
}

EXPORTED unsigned int la_version(unsigned int version)
{
	(void)version;
	audit.hold = map_file();
	return audit.hold == NULL ? 0 : LAV_CURRENT; /* 0: not for this process */
}

static bool is_plugin(const char *path)
{
	const char *wanted = getenv("KT_HOLD_PLUGIN");
	const char *slash = strrchr(path, '/');

	return wanted != NULL && strcmp(slash == NULL ? path : slash + 1, wanted) == 0;
}

EXPORTED unsigned int la_objopen(struct link_map *map, Lmid_t lmid, uintptr_t *cookie)
{
	(void)lmid;
	(void)cookie;
	if (is_plugin(map->l_name))
		return LA_FLG_BINDFROM;
	return map->l_name[0] == '\0' ? LA_FLG_BINDTO : 0; /* the program itself */
}

/* The two cookies have the shape that the interface gives them. */
EXPORTED uintptr_t la_symbind64(Elf64_Sym *sym, unsigned int ndx, uintptr_t *refcook,
				uintptr_t *defcook, unsigned int *flags, const char *symname)
{
	(void)ndx;
	(void)refcook;
	(void)defcook;
	*flags |= LA_SYMB_NOPLTENTER | LA_SYMB_NOPLTEXIT;
	if (strcmp(symname, "mosquitto_callback_register") == 0) {
		audit.broker_register = (register_function)sym->st_value;
		return (uintptr_t)register_timed;
	}
	if (strcmp(symname, "mosquitto_callback_unregister") == 0) {
		audit.broker_unregister = (unregister_function)sym->st_value;
		return (uintptr_t)unregister_timed;
	}
	return sym->st_value;
}

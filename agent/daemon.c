#include "daemon.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "agent.h"
#include "agent_ports.h"
#include "clock.h"
#include "status.h"
#include "topic.h"

enum {
	FETCH_TIMEOUT_MS = 10000,
	FETCH_RETRY_MS = 5000,
	STATUS_RETRY_MS = 5000,
	POLL_MAX_MS = 3600000,
	ALONE_MS = 3600000,
	ALONE_BACKOFFS = 4,
	EVENTS_A_TURN =
		64 /* a broker that floods must not keep us from signals, hooks and timers */
};

struct daemon {
	const struct kt_daemon_request *request;
	struct kt_hub *hub;
	struct kt_agent_ports ports;
	struct kt_hooks *hooks;
	struct kt_paho *paho;
	struct kt_agent *agent;
	int signal_fd;
	sigset_t old_mask;
	unsigned up;	    /* a bit for each link */
	int64_t contact_ms; /* mono: a broker was there, or nobody has looked yet */
	bool is_alone;
	bool is_stopping;
	bool is_clock_ahead;	     /* told once */
	int64_t deadline_ms;	     /* INT64_MAX: none */
	int64_t watchdog_ms;	     /* between two signs of life; 0: none wanted */
	struct kt_agent_status told; /* in the status file; record is not used */
	bool has_told;		     /* false after a failed write as well: it is tried again */
	bool is_status_failed;	     /* told once */
	/* what broker certificates are judged by: read by the links' threads */
	char trust_domain[KT_TRUST_DOMAIN_MAX + 1];
	uint8_t root[KT_CERT_MAX];
	size_t root_len;
};

static struct kt_agent_now now(void)
{
	struct timespec t = {0};

	(void)clock_gettime(CLOCK_REALTIME, &t);
	return (struct kt_agent_now){.wall_s = t.tv_sec, .mono_ms = kt_mono_ms()};
}

static void log_event(struct daemon *d, enum kt_event event, const struct kt_field *fields,
		      size_t count)
{
	d->request->log->now_ms = kt_mono_ms();
	(void)kt_log_event(d->request->log, event, fields, count);
}

static void log_failed(struct daemon *d, const char *what, enum kt_err err)
{
	const struct kt_field fields[] = {{"what", what}, {"err", kt_err_name(err)}};

	log_event(d, KT_EVENT_AGENT_FAILED, fields, 2);
}

/* --- waiting --- */

/* Until something happens or @until_ms (mono) is reached. Takes a signal, if there is one. */
static void wait_until(struct daemon *d, int64_t until_ms)
{
	struct pollfd fds[] = {
		{.fd = d->signal_fd, .events = POLLIN},
		{.fd = d->paho != NULL ? kt_paho_fd(d->paho) : -1, .events = POLLIN},
		{.fd = d->hooks != NULL ? kt_hooks_fd(d->hooks) : -1, .events = POLLIN},
	};
	struct signalfd_siginfo info;
	int64_t left = until_ms - kt_mono_ms();

	if (d->watchdog_ms > 0 && left > d->watchdog_ms)
		left = d->watchdog_ms;
	if (left > POLL_MAX_MS)
		left = POLL_MAX_MS;
	if (left < 0)
		left = 0;
	if (poll(fds, sizeof(fds) / sizeof(fds[0]), (int)left) > 0 && fds[0].revents != 0 &&
	    read(d->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		d->is_stopping = true;
	if (d->watchdog_ms > 0)
		(void)sd_notify(0, "WATCHDOG=1");
}

static bool is_over(const struct daemon *d)
{
	return d->is_stopping || kt_mono_ms() >= d->deadline_ms;
}

/*
 * At a connect that failed: nobody has been there for so long that it may be this process; the C
 * library's resolver, for one, finds no name any more once it was short of memory. Who enrols sees
 * for himself.
 */
static void note_failure(struct daemon *d)
{
	const int64_t limit_ms = ALONE_MS + ALONE_BACKOFFS * d->hub->config->timers.backoff_max;

	if (!d->request->is_enrolment && d->up == 0 && kt_mono_ms() - d->contact_ms >= limit_ms)
		d->is_alone = true;
}

static void note_contact(struct daemon *d, const struct kt_link_event *event)
{
	const unsigned bit = 1U << (unsigned)event->link;

	if (event->kind == KT_LINK_UP)
		d->up |= bit;
	if (event->kind == KT_LINK_DOWN)
		d->up &= ~bit;
	if (event->kind == KT_LINK_DOWN && event->cause == KT_CAUSE_NO_ANSWER)
		note_failure(d);
	else
		d->contact_ms = kt_mono_ms();
}

/* --- opening --- */

static enum kt_err take_signals(struct daemon *d)
{
	sigset_t mine;

	(void)sigemptyset(&mine);
	(void)sigaddset(&mine, SIGTERM);
	(void)sigaddset(&mine, SIGINT);
	if (pthread_sigmask(SIG_BLOCK, &mine, &d->old_mask) != 0)
		return KT_ERR_SYS;
	d->signal_fd = signalfd(-1, &mine, SFD_CLOEXEC | SFD_NONBLOCK);
	return d->signal_fd < 0 ? KT_ERR_SYS : KT_ERR_OK;
}

static void log_no_root(struct daemon *d, const char *why)
{
	const struct kt_field fields[] = {{"link", "claim"}, {"cause", "no_root"}, {"detail", why}};

	log_event(d, KT_EVENT_LINK_DOWN, fields, 3);
}

/* Tries until it works, or it cannot, or somebody ends it. */
static enum kt_err settle_root(struct daemon *d, char why[static KT_HUB_WHY_MAX])
{
	enum kt_err err = KT_ERR_OK;

	while (!is_over(d) && !d->is_alone) {
		err = kt_hub_fetch_root(d->hub, FETCH_TIMEOUT_MS, why);
		if (err == KT_ERR_OK || err == KT_ERR_MISSING_FIELD)
			break;
		log_no_root(d, why);
		note_failure(d);
		wait_until(d, kt_mono_ms() + FETCH_RETRY_MS);
	}
	if (err != KT_ERR_OK || is_over(d))
		return err;
	return kt_identity_root(d->hub->store, d->root, &d->root_len);
}

static enum kt_err open_core(struct daemon *d)
{
	const struct kt_agent_config *config = d->hub->config;
	const struct kt_paho_config paho = {
		.broker = d->hub->broker,
		.claim = d->hub->claim,
		.root_pem = d->hub->root_pem,
		.min_tls = config->tls_min,
		.connect_timeout_s = (int)(config->connect_timeout_ms / KT_SECOND_MS),
		.keep_alive_s = (int)(config->keep_alive_ms / KT_SECOND_MS),
	};
	struct kt_agent_setup setup = {
		.disk = &d->ports.disk,
		.hooks = &d->ports.hooks,
		.entropy = &d->ports.entropy,
		.log = d->request->log,
		.timers = config->timers,
		.key_store = config->key_store,
		.claim_pem = d->hub->has_claim ? config->claim_identity : NULL,
		.ticket = d->hub->has_ticket ? &d->hub->ticket : NULL,
		.claim_device = config->device,
	};
	enum kt_err err = kt_hooks_new(config->hooks, config->hook_count, config->hook_timeout_ms,
				       d->request->log, &d->hooks);

	if (err == KT_ERR_OK)
		err = kt_paho_new(&paho, &d->paho);
	if (err != KT_ERR_OK)
		return err;
	kt_agent_ports_init(&d->ports, d->hub->store, d->hub->crypto, d->hooks);
	setup.transport = kt_paho_transport(d->paho);
	return kt_agent_new(&setup, now(), &d->agent);
}

/* --- telling --- */

static void tell_status(struct daemon *d)
{
	struct kt_agent_status status;
	char line[64];
	enum kt_err err = KT_ERR_OK;

	kt_agent_status(d->agent, &status);
	if (d->has_told && status.health == d->told.health &&
	    status.last_session_s == d->told.last_session_s &&
	    strcmp(status.last_reason, d->told.last_reason) == 0)
		return;
	err = kt_status_save(d->hub->config->state_dir, &status);
	if (err != KT_ERR_OK && !d->is_status_failed)
		log_failed(d, "status", err);
	d->is_status_failed = err != KT_ERR_OK;
	(void)snprintf(line, sizeof(line), "STATUS=%s", kt_agent_health_name(status.health));
	(void)sd_notify(0, line);
	d->told = status;
	d->told.record = NULL;
	d->has_told = err == KT_ERR_OK;
}

/* --- the loop --- */

/* What the next broker certificate is judged by. */
static void set_trust(struct daemon *d)
{
	const struct kt_agent_record *record = kt_identity_record(d->hub->store);
	const struct kt_trust trust = {
		.trust_domain = d->trust_domain,
		.root_der = {d->root, d->root_len},
		.controller_n = record->controller_n,
		.floor_s = record->floor_s,
		.system_s = now().wall_s,
	};

	kt_paho_trust(d->paho, &trust);
}

/* What broker certificates have taught about the time is kept. */
static void keep_floor(struct daemon *d)
{
	struct kt_agent_record next = *kt_identity_record(d->hub->store);
	bool is_ahead = false;
	int64_t floor_s = kt_paho_floor_s(d->paho, &is_ahead);
	enum kt_err err = KT_ERR_OK;

	if (is_ahead && !d->is_clock_ahead)
		log_event(d, KT_EVENT_CLOCK_AHEAD, NULL, 0);
	d->is_clock_ahead = is_ahead;
	if (floor_s <= next.floor_s)
		return;
	next.floor_s = floor_s;
	err = kt_identity_save(d->hub->store, &next);
	if (err != KT_ERR_OK)
		log_failed(d, "record", err);
}

static void take_events(struct daemon *d)
{
	struct kt_link_event event;
	enum kt_hooks_state hooks = KT_HOOKS_IDLE;

	for (unsigned i = 0; i < EVENTS_A_TURN && kt_paho_take(d->paho, &event); i++) {
		keep_floor(d);
		set_trust(d);
		note_contact(d, &event);
		kt_agent_link_event(d->agent, now(), &event);
		kt_link_event_clear(&event);
	}
	hooks = kt_hooks_poll(d->hooks, kt_mono_ms());
	if (hooks == KT_HOOKS_DONE || hooks == KT_HOOKS_FAILED)
		kt_agent_hooks_done(d->agent, now(), hooks == KT_HOOKS_DONE);
	if (kt_agent_next_tick_ms(d->agent) <= kt_mono_ms()) {
		set_trust(d);
		kt_agent_tick(d->agent, now());
	}
}

static bool is_enrolled(const struct daemon *d)
{
	const struct kt_agent_record *record = kt_identity_record(d->hub->store);

	return record->phase == KT_AGENT_STABLE && record->step == KT_STEP_NONE;
}

/* An enrolment that has its identity, but not yet everything behind it, has succeeded. */
static enum kt_daemon_end how_it_ended(const struct daemon *d)
{
	const struct kt_agent_record *record = kt_identity_record(d->hub->store);

	if (!d->request->is_enrolment)
		return KT_DAEMON_STOPPED;
	if (record->phase == KT_AGENT_STABLE)
		return KT_DAEMON_ENROLLED;
	return d->is_stopping ? KT_DAEMON_STOPPED : KT_DAEMON_TIMED_OUT;
}

/*
 * Of a hub whose agent does not come back from a call, or finds nobody, a new process may do
 * better: whoever started this one starts it again (Restart= of the unit).
 */
static enum kt_err give_up(struct daemon *d, char why[static KT_HUB_WHY_MAX])
{
	const bool is_stuck = kt_paho_stuck_at_ms(d->paho) <= kt_mono_ms();

	if (!is_stuck && !d->is_alone)
		return KT_ERR_OK;
	log_failed(d, is_stuck ? "transport" : "contact", KT_ERR_BUSY);
	(void)snprintf(why, KT_HUB_WHY_MAX, "%s",
		       is_stuck ? "a call of the MQTT library does not return"
				: "no broker for too long: a new process is to try");
	return KT_ERR_BUSY;
}

static enum kt_err loop(struct daemon *d, char why[static KT_HUB_WHY_MAX])
{
	enum kt_err err = KT_ERR_OK;

	set_trust(d);
	kt_agent_start(d->agent, now());
	(void)sd_notify(0, "READY=1");
	while (!is_over(d) && err == KT_ERR_OK) {
		int64_t next = kt_agent_next_tick_ms(d->agent);
		int64_t hooks = kt_hooks_next_ms(d->hooks);
		int64_t stuck = kt_paho_stuck_at_ms(d->paho);

		tell_status(d);
		if (d->request->is_enrolment && is_enrolled(d))
			break;
		if (hooks < next)
			next = hooks;
		if (stuck < next)
			next = stuck;
		if (!d->has_told && next > kt_mono_ms() + STATUS_RETRY_MS)
			next = kt_mono_ms() + STATUS_RETRY_MS;
		wait_until(d, next < d->deadline_ms ? next : d->deadline_ms);
		take_events(d);
		err = give_up(d, why);
	}
	tell_status(d);
	return err;
}

static void log_life(struct daemon *d, enum kt_event event)
{
	const struct kt_agent_record *record = kt_identity_record(d->hub->store);
	const struct kt_field fields[] = {
		{"version", KT_VERSION},
		{"device", record->device.s[0] != '\0' ? record->device.s : NULL},
		{"trust_domain", record->trust_domain},
	};

	log_event(d, event, fields, 3);
}

/* A thread that is left behind uses the root and the watch: then nothing of it is freed. */
static bool end(struct daemon *d)
{
	bool is_clean = kt_paho_free(d->paho);

	kt_agent_free(d->agent);
	kt_hooks_free(d->hooks);
	if (d->signal_fd >= 0)
		(void)close(d->signal_fd);
	(void)pthread_sigmask(SIG_SETMASK, &d->old_mask, NULL);
	if (is_clean)
		free(d);
	return is_clean;
}

enum kt_err kt_daemon_run(const struct kt_daemon_request *request, struct kt_daemon_result *result)
{
	struct daemon *d = calloc(1, sizeof(*d));
	uint64_t watchdog_us = 0;
	enum kt_err err = KT_ERR_NOMEM;
	char text[KT_ERR_CAUSE_MAX];

	memset(result, 0, sizeof(*result));
	result->is_clean = true;
	if (d == NULL) {
		(void)snprintf(result->why, sizeof(result->why), "%s", kt_err_text(err));
		return err;
	}
	d->request = request;
	d->hub = request->hub;
	d->signal_fd = -1;
	d->contact_ms = kt_mono_ms();
	d->deadline_ms = request->is_enrolment && request->wait_ms > 0
				 ? kt_mono_ms() + request->wait_ms
				 : INT64_MAX;
	if (sd_watchdog_enabled(0, &watchdog_us) > 0)
		d->watchdog_ms = (int64_t)(watchdog_us / 2000);
	memcpy(d->trust_domain, kt_identity_record(d->hub->store)->trust_domain,
	       sizeof(d->trust_domain));
	log_life(d, KT_EVENT_AGENT_STARTED);
	err = take_signals(d);
	if (err == KT_ERR_OK)
		err = settle_root(d, result->why);
	if (err == KT_ERR_OK && !is_over(d))
		err = open_core(d);
	if (err == KT_ERR_OK && d->agent != NULL)
		err = loop(d, result->why);
	if (err != KT_ERR_OK && result->why[0] == '\0')
		(void)snprintf(result->why, sizeof(result->why), "%s",
			       kt_err_cause(err, errno, text));
	result->end = how_it_ended(d);
	(void)sd_notify(0, "STOPPING=1");
	log_life(d, KT_EVENT_AGENT_STOPPED);
	result->is_clean = end(d);
	return err;
}

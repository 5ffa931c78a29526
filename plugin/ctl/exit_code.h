/*
 * exit_code - what keyturnctl ends with: for scripts, so a number keeps its meaning.
 */
#ifndef KT_CTL_EXIT_CODE_H
#define KT_CTL_EXIT_CODE_H

/* X(CODE, number, "what it means"); docs/keyturnctl.1 has the same table */
#define KT_CTL_EXIT_LIST(X)                                                                        \
	X(OK, 0, "done")                                                                           \
	X(REFUSED, 1, "the plugin refused the command, or a part of it")                           \
	X(USAGE, 2, "wrong arguments, or not confirmed; nothing was sent")                         \
	X(CONNECTION, 3,                                                                           \
	  "no connection: broker or plugin not reachable, refused by the broker, lost")            \
	X(TIMEOUT, 4, "no answer in time")                                                         \
	X(FAILED, 5,                                                                               \
	  "a challenge was not answered, a ledger does not verify, or would be rolled back")       \
	X(LOCAL, 6, "output, a file or memory failed here, or an answer could not be read")        \
	X(DISPROVED, 7, "a signed head says otherwise: the ledger was truncated or rewritten")     \
	X(FORGED, 8, "a signed head does not verify, or is of another trust domain")

enum kt_ctl_exit {
#define KT_CTL_EXIT_ENUM(code, number, text) KT_CTL_EXIT_##code = (number),
	KT_CTL_EXIT_LIST(KT_CTL_EXIT_ENUM)
#undef KT_CTL_EXIT_ENUM
};

#endif

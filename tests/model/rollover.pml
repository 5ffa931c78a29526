/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rollover.pml - one device identity, one broker plugin, an operator, and everything that goes wrong
 *
 *   tests/model.sh            every run, and for every rule what breaks without it
 *   docs/RELIABILITY.md       what is modelled, what is not, the figures
 *
 * Who takes part
 *   Server   the plugin: rotation, enrolment, the door. W is what it holds in memory, R the ledger as it
 *            is durable. The ledger is the only truth: a start replays it.
 *   Party 0  the hub with its agent. V is what the process wrote, D what is on flash.
 *   Party 1  one that has more than it should: a clone of the hub's storage (CLONE), whoever read the
 *            ticket (THIEF), or the old hub that was replaced and still runs (REPLACE).
 *   App      the hub's other programs, with the old key until a hook made them reload (APP).
 *   Rogue    a neighbour that sends in requests it got hold of (ROGUE).
 *   World    power cuts, process ends, backup and restore.
 *
 * "Sync" copies V to D, or W to R, at any moment; the rules only say before which sends the program has
 * WAITED for it. A power cut throws V or W away.
 *
 * A key is a small number and stands for the private key and the certificate made for it. The network is
 * a SET of messages for each type and op: what was sent once can be taken any number of times, in any
 * order, late, or never. Only enrolment answers are bound to their connection, as they are in the code.
 *
 * The agent has two links, as in agent_link.c: sess is :agent with the active key, tses is :trial with
 * the pending one, beside it.
 */

/* --- the state tables ------------------------------------------------------------------------------ */

#define IDLE 0
#define OPEN 1
#define ISSUED 2

#define NEW 0
#define STABLE 1
#define KEY 2
#define CERT 3

#define NO 9 /* the server refuses, the device ignores: nothing changes */

/*
 * One line a cell: side_phase_event, the next phase, and the reason or action of the code's table. The
 * unit test model_tables compares each with kt_rotation_step() or kt_rollover(), and finds what is
 * missing. Every step below takes its next phase, and whether it is possible at all, from here.
 */
#define SERVER_IDLE_ORDER OPEN
#define SERVER_OPEN_ORDER OPEN
#define SERVER_ISSUED_ORDER OPEN
#define SERVER_IDLE_CSR NO /* op.closed */
#define SERVER_OPEN_CSR OPEN
#define SERVER_ISSUED_CSR ISSUED
#define SERVER_IDLE_CERTIFIED NO /* op.closed */
#define SERVER_OPEN_CERTIFIED ISSUED
#define SERVER_ISSUED_CERTIFIED ISSUED
#define SERVER_IDLE_SECOND_KEY NO /* op.closed */
#define SERVER_OPEN_SECOND_KEY IDLE
#define SERVER_ISSUED_SECOND_KEY IDLE
#define SERVER_IDLE_CONFIRM IDLE
#define SERVER_OPEN_CONFIRM NO /* op.unknown */
#define SERVER_ISSUED_CONFIRM IDLE
#define SERVER_IDLE_PROMOTED IDLE
#define SERVER_OPEN_PROMOTED OPEN
#define SERVER_ISSUED_PROMOTED ISSUED
#define SERVER_IDLE_CANCEL NO /* state */
#define SERVER_OPEN_CANCEL IDLE
#define SERVER_ISSUED_CANCEL IDLE
#define SERVER_IDLE_DEADLINE NO /* state */
#define SERVER_OPEN_DEADLINE IDLE
#define SERVER_ISSUED_DEADLINE IDLE
#define SERVER_IDLE_BEHIND IDLE
#define SERVER_OPEN_BEHIND IDLE
#define SERVER_ISSUED_BEHIND IDLE

#define DEVICE_NEW_ROTATE_NEW NO
#define DEVICE_STABLE_ROTATE_NEW KEY /* new.key */
#define DEVICE_KEY_ROTATE_NEW KEY    /* new.key */
#define DEVICE_CERT_ROTATE_NEW KEY   /* new.key */
#define DEVICE_NEW_ROTATE_SETTLE NO
#define DEVICE_STABLE_ROTATE_SETTLE NO
#define DEVICE_KEY_ROTATE_SETTLE NO
#define DEVICE_CERT_ROTATE_SETTLE KEY /* settle.new.key */
#define DEVICE_NEW_ROTATE_SAME NO
#define DEVICE_STABLE_ROTATE_SAME NO
#define DEVICE_KEY_ROTATE_SAME KEY   /* send.csr */
#define DEVICE_CERT_ROTATE_SAME CERT /* open.trial */
#define DEVICE_NEW_CERT_GOOD NO
#define DEVICE_STABLE_CERT_GOOD NO
#define DEVICE_KEY_CERT_GOOD CERT  /* save.cert */
#define DEVICE_CERT_CERT_GOOD CERT /* open.trial */
#define DEVICE_NEW_ENROLLED CERT   /* save.cert */
#define DEVICE_STABLE_ENROLLED NO
#define DEVICE_KEY_ENROLLED CERT   /* save.cert */
#define DEVICE_CERT_ENROLLED CERT /* open.trial */
#define DEVICE_NEW_CONFIRM_DUE NO
#define DEVICE_STABLE_CONFIRM_DUE NO
#define DEVICE_KEY_CONFIRM_DUE NO
#define DEVICE_CERT_CONFIRM_DUE CERT /* send.confirm */
#define DEVICE_NEW_COMMITTED NO
#define DEVICE_STABLE_COMMITTED STABLE /* send.promoted */
#define DEVICE_KEY_COMMITTED NO
#define DEVICE_CERT_COMMITTED STABLE /* commit */
#define DEVICE_NEW_CLOSED NO
#define DEVICE_STABLE_CLOSED NO
#define DEVICE_KEY_CLOSED KEY   /* old.first */
#define DEVICE_CERT_CLOSED CERT /* old.first */

/*
 * Events of the code's tables that have no step here, and why nothing is lost by it:
 *
 * not modelled: server failed: changes no phase and closes nothing, it is news for the operator
 * not modelled: device rotate.bad: ignored in every phase, which is the same as a lost message
 * not modelled: device cert.bad: keeps key and phase, which is the same as a lost cert; an unusable
 *   credential that verifies is BADCRED
 * not modelled: device committed.other: ignored in every phase
 * not modelled: device noted.promoted: ends the repeats of a message that stays in its set here
 * not modelled: device noted.other: ignored in every phase
 */

/* --- the rules: 1 as designed, -DNAME=0 knocks one out ----------------------------------------------
 *
 * tests/model.sh makes variables of them, and of the world's switches, which the search program reads from
 * its environment (RULES): one program then serves many runs.
 */
#ifdef RULES
#include "rules.pml"
#else
#define read_rules() skip

#ifndef SYNC_KEY /* the device waits until its key is on flash before it sends the csr */
#define SYNC_KEY 1
#endif
#ifndef SYNC_CERT /* ... and until its certificate is before the trial */
#define SYNC_CERT 1
#endif
#ifndef CLAIM_SYNC /* ... and until its claim key is before it sends enroll */
#define CLAIM_SYNC 1
#endif
#ifndef OVERLAP /* the old key stays valid until confirm; 0: issued is committed */
#define OVERLAP 1
#endif
#ifndef TRIAL /* commit on a confirm over the NEW key's session; 0: over any; 2: on its first use */
#define TRIAL 1
#endif
#ifndef PEND_TRIAL /* a pending credential opens :trial and nothing else */
#define PEND_TRIAL 1
#endif
#ifndef SRV_SYNC /* a change is durable before any message or answer rests on it */
#define SRV_SYNC 1
#endif
#ifndef SAY_SYNC /* ... and before anybody is let in or refused by it */
#define SAY_SYNC 1
#endif
#ifndef REPLAY /* a start believes the ledger; 0: the index beside it, which may be older */
#define REPLAY 1
#endif
#ifndef WIPE_LATE /* the device keeps the old key until committed */
#define WIPE_LATE 1
#endif
#ifndef OP_FRESH /* only the newest op counts, on both sides */
#define OP_FRESH 1
#endif
#ifndef RECONCILE /* a newer rotate first settles the older op by its cur */
#define RECONCILE 1
#endif
#ifndef ROT_SESS /* ... and is obeyed only if cur is the key of this very session */
#define ROT_SESS 1
#endif
#ifndef RETIRED /* superseded keys are remembered: never new again, their use is told */
#define RETIRED 1
#endif
#ifndef ACKED /* their use is an alarm only after promoted, before it a suspicion */
#define ACKED 1
#endif
#ifndef PROM_LATE /* promoted only when the hub's programs have reloaded */
#define PROM_LATE 1
#endif
#ifndef TMO_BACK /* silence, too, makes the device try its old key once */
#define TMO_BACK 1
#endif
#ifndef CYCLE /* both refused: start over with the new one */
#define CYCLE 1
#endif
#ifndef OLD_FIRST /* "closed": the old key first until a newer rotate */
#define OLD_FIRST 1
#endif
#ifndef REV_ATOMIC /* to accept is to start the session: one step */
#define REV_ATOMIC 1
#endif
#ifndef KICK_REV /* a revoke ends sessions */
#define KICK_REV 1
#endif
#ifndef KICK_COM /* a commit ends :agent and :trial of what it superseded */
#define KICK_COM 1
#endif
#ifndef CSR_ONCE /* a second key for one op closes it, freezes and alarms; 0: it replaces the first */
#define CSR_ONCE 1
#endif
#ifndef CSR_BIND /* a csr names device, op and nonce */
#define CSR_BIND 1
#endif
#ifndef TICKET_ONCE /* used up in the record that issues; 0: never; 2: at the commit */
#define TICKET_ONCE 1
#endif
#ifndef CLAIM_SAME /* the same ticket and key: the same certificate again */
#define CLAIM_SAME 1
#endif
#ifndef ENR_IDLE /* an enrolment under way is no rotation: no order, cancel or deadline ends it */
#define ENR_IDLE 1
#endif
#ifndef VOID_TICK /* a revoke voids the device's open tickets */
#define VOID_TICK 1
#endif
#ifndef CLOSE_OPS /* a restore closes every op, and op numbers are never used again */
#define CLOSE_OPS 1
#endif
#ifndef ROLLFWD /* after a restore a higher generation of the device wins, until a rotation completes */
#define ROLLFWD 1
#endif
#ifndef WITNESS /* a hello with a newer op raises the counter and closes the op */
#define WITNESS 1
#endif

/* --- the world: what may happen ---------------------------------------------------------------------- */

#ifndef CRASH /* power cuts and process ends on both sides */
#define CRASH 1
#endif
#ifndef REVOKE
#define REVOKE 1
#endif
#ifndef CANCEL_OPS /* an operator cancels, a deadline passes */
#define CANCEL_OPS 1
#endif
#ifndef BADCRED /* a new credential may turn out unusable; 2: and nobody says so, there is no answer */
#define BADCRED 1
#endif
#ifndef APP /* the hub's other programs */
#define APP 1
#endif
#ifndef CLONE
#define CLONE 0
#endif
#ifndef ROGUE
#define ROGUE 0
#endif
#ifndef CLAIM /* the device starts NEW; 1: with a ticket, 2: an operator approves its key */
#define CLAIM 0
#endif
#ifndef THIEF
#define THIEF 0
#endif
#ifndef REPLACE /* a new ticket for the device, and a new hub that claims with it */
#define REPLACE 0
#endif
#ifndef LIVE /* two faults at most, no revoke (it could end every run), and LV at every end */
#define LIVE 0
#endif
#ifndef CHECK /* which invariants: 1 I1, 2 I2, 4 I3, 8 I4, 16 I5, 32 I8 */
#define CHECK 63
#endif
#ifndef REACH /* not an invariant but an example: a state that must be reachable */
#define REACH 0
#endif

#endif /* RULES */

/* what costs states is left out where no run needs it */
#ifndef LANE /* the claim lane */
#define LANE (CLAIM || REPLACE)
#endif
#ifndef MAXOP /* ops in all, at most 3 */
#define MAXOP 2
#endif
#ifndef NK /* keys in all, at most 5 */
#define NK 4
#endif
#ifndef RESTORE /* the ledger is restored from a backup, once */
#define RESTORE 0
#endif
#ifndef TWO /* the second party */
#define TWO (CLONE || THIEF || REPLACE)
#endif

#define NONE 7 /* no key */
#define FREE 7 /* a ticket that nobody used */
#define VOID 6
#define ABSENT 5
#define MASK ((1 << NK) - 1)
#define BIT(k) (1 << (k))
#define IN(set, k) (((set) & BIT(k)) != 0)

typedef Rec {
	byte act; /* active key */
	byte oth; /* pending one */
	byte ph;
	byte op
};
typedef Reg {
	byte cur;
	byte pend;
	byte ph;
	byte op;
	byte lc;   /* op of the last commit */
	byte ret;  /* superseded keys */
	byte prom; /* those of them whose successor was promoted */
	bit rev;
	bit frz;
#if LANE
	bit enr;
	byte tk; /* the ticket: ABSENT, FREE, VOID, or the key that used it; CLAIM=2: the approved key */
#endif
#if RESTORE
	bit rec; /* reconcile mode */
	byte gen
#endif
};

Rec D[2], V[2];
Reg R, W;
#if RESTORE
Reg B;		/* the backup */
byte gen[NK];	/* generation in the certificate */
bit restored;
#endif
Reg X;		/* the index, without REPLAY */

byte sess[2];	/* key of the session of :agent */
byte tses[2];	/* ... of :trial */
bit tried[2];	/* RAM: the pending key was refused, the old one's turn */
bit noans[2];	/* RAM: it got no answer */
bit oldf[2];	/* RAM: the server said "closed" */
bit out[2];	/* every key was refused */
bit here[2];	/* the party exists */
byte conn[2];	/* accepted, not started: without REV_ATOMIC */
byte app = NONE; /* key that the hub's other programs use */
#if LANE
byte ask[2];	/* claim connection: key of the enroll in work, NONE: no connection */
byte ans[2];	/* 0 asked, 1 issued, 2 answered */
bit nope[2];	/* claim.refused: the next try is a minute away, and an operator's matter */
byte wait;	/* RAM: keys that wait for an operator */
bit tktold;	/* the ticket is durable and out of the operator's hands */
#endif

byte nextkey;	/* supply of fresh keys */
byte bad;	/* keys whose credential does not work */
byte work;	/* keys of the op in work with the worker */

/* the messages, one set for each op */
byte m_rot[4];	/* rotate: bit cur */
int m_csr[4];	/* csr: bit new * NK + key of the session */
byte m_cert[4]; /* cert: bit new */
byte m_conf[4]; /* confirm */
byte m_comm[4]; /* committed */
byte m_prom[4]; /* promoted */

/* what the world knows */
byte g_ret;	/* keys that a committed has superseded */
bit g_rev;	/* the revoke was acknowledged */
bit g_two;	/* a second party exists */
byte g_op;	/* newest op ever given out */
bit alarm;
bit suspect;
byte faults;	/* LIVE only */
#if LANE
bit g_issued[2]; /* the party was given a certificate for the ticket */
byte g_thief;	/* keys of the thief */
bit conflict;	/* enroll.conflict was raised */
#endif
byte own_dev, own_rogue; /* ROGUE only */

/* --- short forms -------------------------------------------------------------------------------------- */

#define CLEAN(p) (V[p].act == D[p].act && V[p].oth == D[p].oth && V[p].ph == D[p].ph && V[p].op == D[p].op)
#if LANE
#define SAME_ENR(x, y) (x.enr == y.enr && x.tk == y.tk)
#define ENR(g) (g.enr)
#else
#define SAME_ENR(x, y) 1
#define ENR(g) 0
#endif
#if RESTORE
#define SAME_REC(x, y) (x.rec == y.rec && x.gen == y.gen)
#else
#define SAME_REC(x, y) 1
#endif
#define SAME(x, y) (x.cur == y.cur && x.pend == y.pend && x.ph == y.ph && x.op == y.op && x.lc == y.lc && \
	x.ret == y.ret && x.prom == y.prom && x.rev == y.rev && x.frz == y.frz && SAME_ENR(x, y) && SAME_REC(x, y))
#define SREADY (!SRV_SYNC || SAME(W, R)) /* may send or acknowledge */
#define SAYS (!SAY_SYNC || SAME(W, R))	 /* may accept or refuse */
#define FAULT (!LIVE || faults < 2)

/* kt_rotation_phase(): an enrolment is no rotation */
#define SPH (ENR_IDLE && ENR(W) -> IDLE : W.ph)
#define AT3(ph, ev) (ph == IDLE -> SERVER_IDLE_##ev : (ph == OPEN -> SERVER_OPEN_##ev : SERVER_ISSUED_##ev))
#define SERVER(ev) AT3(SPH, ev)
#define DEVICE(p, ev) (V[p].ph == STABLE -> DEVICE_STABLE_##ev : (V[p].ph == KEY -> DEVICE_KEY_##ev : \
	(V[p].ph == CERT -> DEVICE_CERT_##ev : DEVICE_NEW_##ev)))

/* what a device record lets it prove; what a registry accepts, as :agent and as :trial */
#define HELD(d) ((BIT(d.act) | (d.ph == CERT -> BIT(d.oth) : 0)) & MASK & ~bad)
#define ACC(g) (((g.rev -> 0 : BIT(g.cur)) | (g.ph == ISSUED -> BIT(g.pend) : 0)) & MASK)
#define MAIN_OK(k) (k == W.cur && !W.rev && !IN(bad, k))
#define MUTE(k) (BADCRED == 2 && IN(bad, k))
#define TRIAL_OK(k) (IN(ACC(W), k) && !IN(bad, k))

#if RESTORE
#define ROLL(g, k) (ROLLFWD && g.rec && !g.rev && k < NK && !IN(bad, k) && !IN(g.ret, k) && gen[k] > gen[g.cur])
#else
#define ROLL(g, k) 0
#endif

/* rule 6: which key is tried first */
#define NEW_FIRST(p) (V[p].ph == CERT && !tried[p] && !noans[p] && !oldf[p])
#define ACTIVE(p) (V[p].act != NONE && (sess[p] == V[p].act || tses[p] == V[p].act))
#define UP(p) (sess[p] != NONE || tses[p] != NONE)

#define NOW(set, o) (OP_FRESH -> set[o] : set[1] | set[2] | set[3])

/* kt_rollover_rotate_event(): a rotate of op o with cur = k, over a session of k */
#define NEWER(p, o) (OP_FRESH -> o > V[p].op : (o != V[p].op || V[p].ph == STABLE))
#define OVER(p, k) (ROT_SESS -> (k == sess[p] || k == tses[p]) : UP(p))
#define ROTATES(p, o, k) (k != NONE && IN(m_rot[o], k) && NEWER(p, o) && OVER(p, k))
#define ROT_NEW(p, o) ROTATES(p, o, V[p].act)
#define ROT_SET(p, o) ROTATES(p, o, V[p].oth)

/* csr: vouched for by the current key, for a key that was never seen */
#define CSR_BITS(k) ((k < NK && k != W.cur && k != W.pend && !IN(work, k) && !(RETIRED && IN(W.ret, k))) \
	-> BIT(k * NK + W.cur) : 0)
#define CSRS (CSR_BITS(1) | CSR_BITS(2) | CSR_BITS(3) | CSR_BITS(4))
#define CSR_IN (NOW(m_csr, W.op) & CSRS)

/* an invariant that is looked at in one place only; bit: its bit in CHECK */
#define MUST(bit, n, holds) \
	if \
	:: (CHECK & bit) && !(holds) -> printf("step: I%d BROKEN\n", n); assert(false) \
	:: else \
	fi

inline copyrec(to, from)
{
	to.act = from.act; to.oth = from.oth; to.ph = from.ph; to.op = from.op
}
inline copyreg(to, from)
{
	to.cur = from.cur; to.pend = from.pend; to.ph = from.ph; to.op = from.op; to.lc = from.lc;
	to.ret = from.ret; to.prom = from.prom; to.rev = from.rev; to.frz = from.frz;
#if LANE
	to.enr = from.enr; to.tk = from.tk;
#endif
#if RESTORE
	to.rec = from.rec; to.gen = from.gen;
#endif
}
inline dropkey(k)
{
	if :: k != NONE && sess[0] == k -> sess[0] = NONE :: else fi;
	if :: k != NONE && tses[0] == k -> tses[0] = NONE :: else fi;
#if TWO
	if :: k != NONE && sess[1] == k -> sess[1] = NONE :: else fi;
	if :: k != NONE && tses[1] == k -> tses[1] = NONE :: else fi;
#endif
}
inline hang_up(p)
{
	sess[p] = NONE; tses[p] = NONE;
	conn[p] = NONE;
#if LANE
	ask[p] = NONE; ans[p] = 0;
#endif
}
inline forget(p)
{
	tried[p] = 0; noans[p] = 0; oldf[p] = 0
}
inline a_fault()
{
	if :: LIVE -> faults++ :: else fi
}

/* --- the registry's records ----------------------------------------------------------------------------- */

/* close_op: the phase is the caller's, from the table */
inline drop_op()
{
	dropkey(W.pend); W.pend = NONE; work = 0;
#if LANE
	W.enr = 0;
#endif
}
inline supersede(k)
{
	if :: W.cur != NONE -> W.ret = W.ret | BIT(W.cur) :: else fi;
	if :: KICK_COM -> dropkey(W.cur) :: else fi;
	W.cur = k; W.rev = 0;
#if LANE
	if :: TICKET_ONCE == 2 && W.enr -> W.tk = k :: else fi;
	if :: W.enr -> W.frz = 0; W.enr = 0 :: else fi;
#endif
}
inline commit(k)
{
	supersede(k); W.pend = NONE; W.lc = W.op; W.ph = SERVER_ISSUED_CONFIRM;
#if RESTORE
	W.rec = 0;
#endif
}
/* a superseded key was shown, and is refused */
inline stale(k)
{
	if
	:: RETIRED && IN(W.ret, k) && (!ACKED || IN(W.prom, k)) -> alarm = 1
	:: RETIRED && IN(W.ret, k) && ACKED && !IN(W.prom, k) -> suspect = 1
	:: else
	fi
}
/* hello */
inline hello(p)
{
	if
	:: WITNESS && V[p].op > W.op ->
		printf("step: hello with op %d, the registry is behind\n", V[p].op);
		W.ph = SERVER(BEHIND); drop_op(); W.op = V[p].op
	:: else
	fi;
	if
	:: OLD_FIRST && DEVICE(p, CLOSED) != NO && SPH == IDLE && !ENR(W) && V[p].op != W.lc && sess[p] == W.cur ->
		V[p].ph = DEVICE(p, CLOSED); oldf[p] = 1
	:: else
	fi
}

/* the two places where a session starts: I2 and I3 at the door */
inline door(k)
{
	MUST(2, 2, !IN(g_ret, k));
	MUST(4, 3, !g_rev)
}
inline start_main(p, k)
{
	door(k);
	out[p] = 0; noans[p] = 0; tried[p] = 0;
	sess[p] = k; 
#if TWO
	sess[1 - p] = NONE; /* the same client id: taken over */
#endif
	if :: V[p].ph != CERT -> tses[p] = NONE :: else fi;
	hello(p)
}
inline start_trial(p, k)
{
	door(k);
	out[p] = 0; noans[p] = 0;
	tses[p] = k;
#if TWO
	tses[1 - p] = NONE;
#endif
	hello(p);
	if
	:: TRIAL == 2 && W.ph == ISSUED && k == W.pend -> commit(k); m_conf[W.op] = m_conf[W.op] | BIT(k)
	:: else
	fi
}

/* --- the agent ---------------------------------------------------------------------------------------------- */

inline new_key(p, o, to)
{
	V[p].ph = to;
	V[p].oth = nextkey; V[p].op = o; forget(p);
	nextkey++;
	if :: tses[p] != NONE && tses[p] != V[p].act -> tses[p] = NONE :: else fi;
	if :: sess[p] != NONE && sess[p] != V[p].act -> sess[p] = NONE :: else fi
}

proctype Party(byte p)
{
	byte o;
end:
	do
	/* -- :agent with the active key, unless the pending one is first -- */
	:: atomic { here[p] && sess[p] == NONE && SAYS && V[p].ph != NEW && V[p].act != NONE && !NEW_FIRST(p) &&
		    conn[p] == NONE && MAIN_OK(V[p].act) ->
		if
		:: REV_ATOMIC ->
			printf("step: party %d :agent with key %d, accepted\n", p, V[p].act);
			start_main(p, V[p].act)
		:: else ->
			printf("step: party %d :agent with key %d, judged\n", p, V[p].act);
			conn[p] = V[p].act
		fi }
	:: atomic { conn[p] != NONE ->
		printf("step: party %d session of key %d starts\n", p, conn[p]);
		o = conn[p]; conn[p] = NONE; start_main(p, o); o = 0 }
	/* -- :trial with the pending key, beside it -- */
	:: atomic { here[p] && tses[p] == NONE && SAYS && NEW_FIRST(p) && TRIAL_OK(V[p].oth) &&
		    (!SYNC_CERT || CLEAN(p)) ->
		printf("step: party %d :trial with key %d, accepted\n", p, V[p].oth);
		start_trial(p, V[p].oth) }
	:: atomic { !PEND_TRIAL && here[p] && sess[p] == NONE && SAYS && NEW_FIRST(p) && TRIAL_OK(V[p].oth) ->
		printf("step: party %d, a program with key %d, accepted\n", p, V[p].oth);
		sess[p] = V[p].oth }
	/* -- refused: the old one's turn -- */
	:: atomic { here[p] && tses[p] == NONE && SAYS && NEW_FIRST(p) && !TRIAL_OK(V[p].oth) && !ROLL(W, V[p].oth) &&
		    !MUTE(V[p].oth) && (!SYNC_CERT || CLEAN(p)) ->
		printf("step: party %d key %d refused, falls back\n", p, V[p].oth);
		tried[p] = 1; stale(V[p].oth) }
	/* -- no answer, or the session is lost -- */
	:: atomic { TMO_BACK && here[p] && (FAULT || MUTE(V[p].oth)) && sess[p] == NONE && tses[p] == NONE && NEW_FIRST(p) &&
		    V[p].act != NONE ->
		printf("step: party %d no answer with key %d\n", p, V[p].oth);
		noans[p] = 1;
		if :: LIVE && !MUTE(V[p].oth) -> faults++ :: else fi }
	:: atomic { here[p] && FAULT && tses[p] != NONE ->
		printf("step: party %d loses :trial\n", p);
		tses[p] = NONE; a_fault() }
	/* -- after a settle :trial still has what is active now: it makes way when it is overdue -- */
	:: atomic { here[p] && V[p].ph == CERT && tses[p] != NONE && tses[p] == V[p].act ->
		printf("step: party %d closes :trial of key %d\n", p, tses[p]);
		tses[p] = NONE }
	/* -- the old one is refused as well: start over -- */
	:: atomic { here[p] && CYCLE && SAYS && sess[p] == NONE && tses[p] == NONE && V[p].ph == CERT && !NEW_FIRST(p) &&
		    V[p].act != NONE && !MAIN_OK(V[p].act) && (TRIAL_OK(V[p].oth) || ROLL(W, V[p].oth)) ->
		printf("step: party %d key %d refused, back to key %d\n", p, V[p].act, V[p].oth);
		forget(p); stale(V[p].act) }
	:: atomic { here[p] && SAYS && sess[p] == NONE && tses[p] == NONE && V[p].ph != NEW && V[p].act != NONE &&
		    !NEW_FIRST(p) && !MAIN_OK(V[p].act) && !ROLL(W, V[p].act) && !out[p] && !W.rev && !IN(bad, V[p].act) &&
		    !(V[p].ph == CERT && CYCLE && (TRIAL_OK(V[p].oth) || ROLL(W, V[p].oth))) ->
		printf("step: party %d key %d refused, nothing left\n", p, V[p].act);
		out[p] = 1; stale(V[p].act);
		MUST(16, 5, alarm || suspect || !g_two) } /* the one who lost is noticed */
#if RESTORE
	/* -- reconcile mode: a higher generation of this device, signed by us, wins -- */
	:: atomic { here[p] && SAYS && sess[p] == NONE && V[p].ph != NEW && !NEW_FIRST(p) && ROLL(W, V[p].act) ->
		printf("step: the registry goes forward from key %d to %d\n", W.cur, V[p].act);
		W.ph = SERVER(BEHIND); drop_op(); W.gen = (gen[V[p].act] > W.gen -> gen[V[p].act] : W.gen); supersede(V[p].act);
		start_main(p, V[p].act) }
	:: atomic { here[p] && SAYS && tses[p] == NONE && NEW_FIRST(p) && ROLL(W, V[p].oth) && !TRIAL_OK(V[p].oth) &&
		    (!SYNC_CERT || CLEAN(p)) ->
		printf("step: the registry goes forward from key %d to %d\n", W.cur, V[p].oth);
		W.ph = SERVER(BEHIND); drop_op(); W.gen = (gen[V[p].oth] > W.gen -> gen[V[p].oth] : W.gen); supersede(V[p].oth);
		start_trial(p, V[p].oth) }
#endif
	/* -- rotate -- */
	:: atomic { here[p] && nextkey < NK && DEVICE(p, ROTATE_NEW) != NO &&
		    (ROT_NEW(p, 1) || ROT_NEW(p, 2) || ROT_NEW(p, 3)) ->
		if
		:: ROT_NEW(p, 1) -> o = 1
		:: ROT_NEW(p, 2) -> o = 2
		:: ROT_NEW(p, 3) -> o = 3
		fi;
		printf("step: party %d takes ROTATE(%d, cur %d), makes key %d\n", p, o, V[p].act, nextkey);
		new_key(p, o, DEVICE(p, ROTATE_NEW)); o = 0 }
	:: atomic { here[p] && nextkey < NK && DEVICE(p, ROTATE_SETTLE) != NO &&
		    (ROT_SET(p, 1) || ROT_SET(p, 2) || ROT_SET(p, 3)) ->
		if
		:: ROT_SET(p, 1) -> o = 1
		:: ROT_SET(p, 2) -> o = 2
		:: ROT_SET(p, 3) -> o = 3
		fi;
		printf("step: party %d takes ROTATE(%d, cur %d), settles, makes key %d\n", p, o, V[p].oth, nextkey);
		if :: RECONCILE -> V[p].act = V[p].oth :: else fi;
		new_key(p, o, DEVICE(p, ROTATE_SETTLE)); o = 0 }
	/* -- csr, and again at the same rotate -- */
	:: atomic { here[p] && DEVICE(p, ROTATE_SAME) == KEY && ACTIVE(p) && (!SYNC_KEY || CLEAN(p)) &&
		    !(m_csr[V[p].op] & BIT(V[p].oth * NK + V[p].act)) ->
		printf("step: party %d sends CSR(%d, key %d)\n", p, V[p].op, V[p].oth);
		V[p].ph = DEVICE(p, ROTATE_SAME);
		m_csr[V[p].op] = m_csr[V[p].op] | BIT(V[p].oth * NK + V[p].act) }
	:: atomic { here[p] && V[p].ph == KEY && UP(p) && IN(NOW(m_cert, V[p].op), V[p].oth) ->
		printf("step: party %d takes CERT(%d, key %d)\n", p, V[p].op, V[p].oth);
		V[p].ph = DEVICE(p, CERT_GOOD); forget(p) }
	/* -- confirm, over the new key's session -- */
	:: atomic { here[p] && DEVICE(p, CONFIRM_DUE) != NO && (TRIAL -> tses[p] == V[p].oth : UP(p)) &&
		    !IN(m_conf[V[p].op], V[p].oth) && (!SYNC_CERT || CLEAN(p)) ->
		printf("step: party %d sends CONFIRM(%d, key %d)\n", p, V[p].op, V[p].oth);
		m_conf[V[p].op] = m_conf[V[p].op] | BIT(V[p].oth);
		V[p].ph = DEVICE(p, CONFIRM_DUE);
		if :: !WIPE_LATE -> V[p].act = V[p].oth; V[p].oth = NONE; V[p].ph = STABLE :: else fi }
	/* -- committed: the pending key is active, the old one goes -- */
	:: atomic { here[p] && DEVICE(p, COMMITTED) != NO && V[p].oth != NONE && UP(p) &&
		    IN(NOW(m_comm, V[p].op), V[p].oth) ->
		printf("step: party %d takes COMMITTED(%d, key %d), drops key %d\n", p, V[p].op, V[p].oth, V[p].act);
		if :: sess[p] == V[p].act -> sess[p] = NONE :: else fi;
		V[p].ph = DEVICE(p, COMMITTED);
		V[p].act = V[p].oth; V[p].oth = NONE; forget(p) }
	/* -- promoted, when that is on flash and the hub's programs have reloaded -- */
	:: atomic { here[p] && V[p].ph == STABLE && DEVICE(p, COMMITTED) != NO && V[p].op > 0 && ACTIVE(p) && CLEAN(p) &&
		    (!APP || !PROM_LATE || app == V[p].act) &&
		    !IN(m_prom[V[p].op], V[p].act) ->
		printf("step: party %d sends PROMOTED(%d, key %d)\n", p, V[p].op, V[p].act);
		m_prom[V[p].op] = m_prom[V[p].op] | BIT(V[p].act) }
#if LANE
	/* -- the claim lane -- */
	:: atomic { here[p] && V[p].ph == NEW && V[p].oth == NONE && nextkey < NK ->
		printf("step: party %d makes claim key %d\n", p, nextkey);
		V[p].oth = nextkey;
#if TWO
		if :: THIEF && p == 1 -> g_thief = g_thief | BIT(nextkey) :: else fi;
#endif
		nextkey++ }
	:: atomic { here[p] && V[p].ph == NEW && V[p].oth != NONE && ask[p] == NONE && !nope[p] &&
		    (!CLAIM_SYNC || CLEAN(p)) && !(CLAIM == 2 && IN(wait, V[p].oth) && W.tk != V[p].oth) ->
		printf("step: party %d sends ENROLL(key %d)\n", p, V[p].oth);
		ask[p] = V[p].oth; ans[p] = 0 }
	:: atomic { here[p] && ask[p] != NONE && ans[p] == 2 && ask[p] == V[p].oth && DEVICE(p, ENROLLED) != NO ->
		printf("step: party %d takes ENROLLED(%d, key %d)\n", p, W.op, V[p].oth);
		V[p].ph = DEVICE(p, ENROLLED); V[p].op = 1;
		do /* the op that this key was issued in */
		:: V[p].op < 3 && !IN(m_cert[V[p].op], V[p].oth) -> V[p].op = V[p].op + 1
		:: else -> break
		od;
		ask[p] = NONE; ans[p] = 0 }
	:: atomic { here[p] && ask[p] != NONE && FAULT ->
		printf("step: party %d loses its claim connection\n", p);
		ask[p] = NONE; ans[p] = 0; a_fault() }
#endif
	:: atomic { here[p] && !CLEAN(p) -> copyrec(D[p], V[p]) }
	od
}

/* --- the plugin ------------------------------------------------------------------------------------------------ */

#if LANE
/* judge(): what an enroll of party q gets. The key is the connection's, by its own signature. */
#define MINE(q) (W.tk == ask[q] && W.enr && W.pend == ask[q])
#define KEY_FREE(k) (k != W.cur && k != W.pend && !IN(W.ret, k))
#define MAY_CLAIM(q) ((CLAIM == 2 -> W.tk == ask[q] : W.tk == FREE || (TICKET_ONCE != 1 && W.tk != ABSENT && \
	W.tk != VOID && !(TICKET_ONCE == 2 && W.tk < NK))) && KEY_FREE(ask[q]))
#define ENROLL(q) \
	:: atomic { ask[q] != NONE && ans[q] == 0 && MAY_CLAIM(q) && W.op < MAXOP -> \
		printf("step: server issues to claim key %d of party %d, op %d\n", ask[q], q, W.op + 1); \
		drop_op(); W.op++; g_op = (W.op > g_op -> W.op : g_op); \
		W.pend = ask[q]; W.ph = ISSUED; W.enr = 1; set_gen(ask[q]); \
		if :: CLAIM == 2 || TICKET_ONCE == 1 -> W.tk = ask[q] :: else fi; \
		ans[q] = 1 } \
	:: atomic { ask[q] != NONE && ans[q] == 0 && MINE(q) && CLAIM_SAME -> ans[q] = 1 } \
	:: atomic { ask[q] != NONE && ans[q] == 1 && SREADY && W.enr && W.pend == ask[q] -> \
		printf("step: server sends ENROLLED(%d, key %d)\n", W.op, ask[q]); \
		m_cert[W.op] = m_cert[W.op] | BIT(ask[q]); g_issued[q] = 1; ans[q] = 2 } \
	:: atomic { ask[q] != NONE && ans[q] == 1 && !(W.enr && W.pend == ask[q]) -> ask[q] = NONE; ans[q] = 0 } \
	:: atomic { ask[q] != NONE && ans[q] == 0 && SAYS && !MAY_CLAIM(q) && !(MINE(q) && CLAIM_SAME) && \
		    !(CLAIM == 2 && KEY_FREE(ask[q])) -> \
		printf("step: server refuses claim key %d of party %d\n", ask[q], q); \
		if :: W.tk < NK && W.tk != ask[q] -> conflict = 1 :: else fi; \
		MUST(16, 5, conflict || W.rev || !g_issued[1 - q] || g_issued[q]); \
		nope[q] = 1; ask[q] = NONE; ans[q] = 0 } \
	:: atomic { CLAIM == 2 && ask[q] != NONE && ans[q] == 0 && KEY_FREE(ask[q]) && W.tk != ask[q] -> \
		printf("step: claim key %d waits for an operator\n", ask[q]); \
		wait = wait | BIT(ask[q]); ask[q] = NONE; ans[q] = 0 }
#endif

inline set_gen(k)
{
#if RESTORE
	W.gen++; gen[k] = W.gen
#else
	skip
#endif
}

/* one op is kept for the ticket */
#if LANE
#define OPS_LEFT (W.op + (REPLACE && W.tk >= NK -> 1 : 0) < MAXOP)
#else
#define OPS_LEFT (W.op < MAXOP)
#endif

proctype Server()
{
	byte k;
end:
	do
	/* -- order: a newer op closes an older one -- */
	:: atomic { OPS_LEFT && !W.rev && !W.frz && W.cur != NONE && !(ENR_IDLE && ENR(W)) && SERVER(ORDER) != NO ->
		W.ph = SERVER(ORDER); drop_op(); W.op++;
		if :: W.op > g_op -> g_op = W.op :: else fi;
		printf("step: operator orders op %d (current key %d)\n", W.op, W.cur) }
	:: atomic { SPH == OPEN && SREADY && !IN(m_rot[W.op], W.cur) ->
		printf("step: server sends ROTATE(%d, cur %d)\n", W.op, W.cur);
		m_rot[W.op] = m_rot[W.op] | BIT(W.cur) }
	/* -- csr: to the worker -- */
	:: atomic { !W.rev && SPH == OPEN && SERVER(CSR) != NO && CSR_IN ->
		if
		:: CSR_IN & CSR_BITS(1) -> k = 1
		:: CSR_IN & CSR_BITS(2) -> k = 2
		:: CSR_IN & CSR_BITS(3) -> k = 3
		:: CSR_IN & CSR_BITS(4) -> k = 4
		fi;
		printf("step: server takes CSR(%d, key %d)\n", W.op, k);
		W.ph = SERVER(CSR); work = work | BIT(k); k = 0 }
	/* -- certified: the worker is done -- */
	:: atomic { !W.rev && SPH == OPEN && work && SERVER(CERTIFIED) != NO ->
		if
		:: IN(work, 1) -> k = 1
		:: IN(work, 2) -> k = 2
		:: IN(work, 3) -> k = 3
		:: IN(work, 4) -> k = 4
		fi;
		work = work & ~BIT(k);
		W.ph = SERVER(CERTIFIED); W.pend = k; set_gen(k);
		printf("step: server issues to key %d, op %d\n", k, W.op);
		if :: ROGUE -> own_dev = own_dev | BIT(k) :: else fi;
		if
		:: BADCRED -> bad = bad | BIT(k); printf("step: (credential %d is unusable)\n", k)
		:: skip
		fi;
		if :: !OVERLAP -> commit(k); m_cert[W.op] = m_cert[W.op] | BIT(k) :: else fi;
		k = 0 }
	/* -- a second key, by csr or by the worker -- */
	:: atomic { !W.rev && SPH == ISSUED && SERVER(SECOND_KEY) != NO && (work || CSR_IN) ->
		if
		:: CSR_ONCE ->
			printf("step: a second key for op %d, ALARM\n", W.op);
			W.ph = SERVER(SECOND_KEY); drop_op(); W.frz = 1; alarm = 1
		:: else ->
			if
			:: IN(work, 1) || (CSR_IN & CSR_BITS(1)) -> k = 1
			:: IN(work, 2) || (CSR_IN & CSR_BITS(2)) -> k = 2
			:: IN(work, 3) || (CSR_IN & CSR_BITS(3)) -> k = 3
			:: IN(work, 4) || (CSR_IN & CSR_BITS(4)) -> k = 4
			fi;
			printf("step: server issues to key %d as well, op %d\n", k, W.op);
			drop_op(); W.pend = k; set_gen(k); k = 0
		fi }
	:: atomic { SPH == ISSUED && !ENR(W) && SREADY && !IN(m_cert[W.op], W.pend) ->
		printf("step: server sends CERT(%d, key %d)\n", W.op, W.pend);
		m_cert[W.op] = m_cert[W.op] | BIT(W.pend) }
	/* -- confirm: the point of no return. Of an enrolment too: by the phase itself -- */
	:: atomic { W.ph == ISSUED && AT3(W.ph, CONFIRM) != NO && IN(NOW(m_conf, W.op), W.pend) ->
		printf("step: server commits key %d, supersedes %d\n", W.pend, W.cur);
		k = W.pend; commit(k); k = 0 }
	:: atomic { W.lc > 0 && W.cur != NONE && !W.rev && SREADY && IN(NOW(m_conf, W.lc), W.cur) && !IN(m_comm[W.lc], W.cur) ->
		printf("step: server sends COMMITTED(%d, key %d)\n", W.lc, W.cur);
		m_comm[W.lc] = m_comm[W.lc] | BIT(W.cur);
		g_ret = g_ret | W.ret }
	:: atomic { SERVER(PROMOTED) != NO && W.cur != NONE && IN(m_prom[W.lc], W.cur) && (W.ret & ~W.prom) ->
		printf("step: server notes that key %d was promoted\n", W.cur);
		W.prom = W.ret; W.ph = (SPH == W.ph -> SERVER(PROMOTED) : W.ph) }
	:: atomic { CANCEL_OPS && SERVER(CANCEL) != NO && SERVER(DEADLINE) != NO ->
		printf("step: op %d is closed\n", W.op);
		if
		:: W.ph = SERVER(CANCEL)
		:: W.ph = SERVER(DEADLINE)
		fi;
		drop_op() }
	:: atomic { REVOKE && !LIVE && !W.rev && W.cur != NONE ->
		printf("step: operator revokes\n");
		drop_op(); W.ph = IDLE; W.rev = 1;
#if LANE
		if :: VOID_TICK && (W.tk == FREE || CLAIM == 2) -> W.tk = VOID :: else fi;
#endif
		if
		:: KICK_REV -> sess[0] = NONE; tses[0] = NONE; sess[1] = NONE; tses[1] = NONE
		:: else
		fi }
	:: atomic { W.rev && SREADY && !g_rev -> g_rev = 1; printf("step: the revoke is acknowledged\n") }
	:: atomic { W.frz && !LIVE -> W.frz = 0; printf("step: operator ends the freeze\n") }
#if LANE
	ENROLL(0)
#if TWO
	ENROLL(1)
#endif
	:: atomic { CLAIM == 2 && wait && !W.rev ->
		if
		:: IN(wait, 0) -> k = 0
		:: IN(wait, 1) -> k = 1
		:: IN(wait, 2) -> k = 2
		:: IN(wait, 3) -> k = 3
		fi;
		printf("step: operator approves key %d\n", k);
		wait = wait & ~BIT(k); W.tk = k; k = 0 }
	:: atomic { REPLACE && W.tk == ABSENT && !W.rev -> W.tk = FREE; printf("step: operator makes a ticket\n") }
	:: atomic { REPLACE && W.tk != ABSENT && SREADY && !tktold -> tktold = 1 }
#endif
	:: atomic { !SAME(W, R) -> copyreg(R, W) }
	:: atomic { !REPLAY && !SAME(R, X) -> copyreg(X, R) }
	od
}

proctype App()
{
end:
	do
	:: atomic { SAYS && app != NONE && V[0].ph != NEW && !MAIN_OK(app) && !IN(bad, app) && !W.rev &&
		    !(IN(W.prom, app) -> alarm : suspect) ->
		printf("step: a program with key %d, refused\n", app); stale(app) }
	:: atomic { V[0].ph == STABLE && app != V[0].act -> app = V[0].act; printf("step: the programs reload key %d\n", app) }
	od
}

#define SENT(k) ((m_csr[1] | m_csr[2] | m_csr[3]) & (MASK << ((k) * NK)))
#define STEAL(k) \
	:: atomic { ROGUE && !CSR_BIND && SENT(k) && !IN(own_rogue, k) -> \
		printf("step: the neighbour sends in the request of key %d\n", k); \
		own_rogue = own_rogue | BIT(k) }
proctype Rogue()
{
end:
	do
	STEAL(1)
	STEAL(2)
	STEAL(3)
	od
}

/* --- what just happens -------------------------------------------------------------------------------------------- */

proctype World()
{
end:
	do
	:: atomic { CRASH && FAULT ->
		printf("step: DEVICE POWER CUT\n");
		copyrec(V[0], D[0]); hang_up(0); forget(0); a_fault() }
	:: atomic { CRASH && FAULT ->
		printf("step: SERVER POWER CUT\n");
		if
		:: REPLAY -> copyreg(W, R)
		:: else -> copyreg(W, X); copyreg(R, X)
		fi;
		work = 0; hang_up(0); hang_up(1);
#if LANE
		wait = 0;
#endif
		a_fault() }
#if TWO
	:: atomic { CLONE && !g_two ->
		printf("step: CLONE made (keys %d, %d, phase %d)\n", D[0].act, D[0].oth, D[0].ph);
		copyrec(D[1], D[0]); copyrec(V[1], D[0]); here[1] = 1; g_two = 1 }
#if LANE
	:: atomic { REPLACE && !g_two && tktold ->
		printf("step: HUB REPLACED (the old one has keys %d, %d, phase %d)\n", D[0].act, D[0].oth, D[0].ph);
		copyrec(D[1], D[0]); copyrec(V[1], V[0]); here[1] = 1; g_two = 1;
		sess[1] = sess[0]; tses[1] = tses[0]; sess[0] = NONE; tses[0] = NONE;
		D[0].act = NONE; D[0].oth = NONE; D[0].ph = NEW; D[0].op = 0; copyrec(V[0], D[0]); forget(0) }
#endif
#endif
#if RESTORE
	:: atomic { !restored && !SAME(B, R) -> printf("step: backup\n"); copyreg(B, R) }
	:: atomic { !restored ->
		printf("step: THE LEDGER IS RESTORED FROM ITS BACKUP\n");
		copyreg(R, B);
		if :: CLOSE_OPS -> R.pend = NONE; R.ph = IDLE; R.op = g_op :: else fi;
		R.rec = 1; copyreg(W, R); work = 0; hang_up(0); restored = 1 }
#endif
	od
}

/* --- the watch: a step of it is possible only when an invariant is broken ------------------------------------------- */

#if LANE
#define CAN_APPROVE(d, g) (d.oth == NONE || (d.oth != g.cur && !IN(g.ret, d.oth) && \
	(g.pend == d.oth -> g.enr && CLAIM_SAME : 1)))
#define CAN_CLAIM(d, g) (CLAIM == 2 -> CAN_APPROVE(d, g) : \
	g.tk == FREE || (d.oth != NONE && g.tk == d.oth && g.enr && g.pend == d.oth && CLAIM_SAME))
#else
#define CAN_CLAIM(d, g) 0
#endif
#if LANE /* the thief was first */
#define STOLEN (THIEF && !g_issued[0] && (IN(g_thief, W.tk) || IN(g_thief, R.tk)))
#else
#define STOLEN 0
#endif
#define WAY_IN(d, g) (d.ph == NEW -> CAN_CLAIM(d, g) : ((HELD(d) & ACC(g)) != 0 || \
	ROLL(g, d.act) || (d.ph == CERT && ROLL(g, d.oth))))
#define I1 (W.rev || R.rev || (CLONE && g_two) || STOLEN || \
	(WAY_IN(D[0], R) && WAY_IN(D[0], W) && WAY_IN(V[0], R) && WAY_IN(V[0], W)))
#define SESSIONS ((BIT(sess[0]) | BIT(sess[1]) | BIT(tses[0]) | BIT(tses[1])) & MASK)
#define I2 (!(g_ret & SESSIONS))
#define I3 (!g_rev || !SESSIONS)
#if LANE
#define I4 (!(THIEF && g_issued[0] && g_issued[1])) /* one ticket, one credential */
#else
#define I4 (!(own_dev & own_rogue))
#endif
#define I5 (!alarm || g_two)
#define I8 (W.pend == NONE || (sess[0] != W.pend && sess[1] != W.pend))

#define SETTLED (W.ph == IDLE || IN(bad, W.pend) || (W.ph == OPEN && nextkey == NK))
#if RESTORE
#define LV (W.rev || W.frz || sess[0] == W.cur || tses[0] == W.cur)
#else
#define LV (W.rev || STOLEN || (sess[0] != NONE && sess[0] == V[0].act && V[0].act == W.cur && SETTLED) || \
	(V[0].ph == NEW && nextkey == NK))
#endif

proctype Watch()
{
end:
	if
	:: (CHECK & 1) && !(I1) -> printf("step: I1 BROKEN\n"); assert(false)
	:: (CHECK & 2) && !(I2) -> printf("step: I2 BROKEN\n"); assert(false)
	:: (CHECK & 4) && !(I3) -> printf("step: I3 BROKEN\n"); assert(false)
	:: (CHECK & 8) && !(I4) -> printf("step: I4 BROKEN\n"); assert(false)
	:: (CHECK & 16) && !(I5) -> printf("step: I5 BROKEN\n"); assert(false)
	:: (CHECK & 32) && !(I8) -> printf("step: I8 BROKEN\n"); assert(false)
	/* all ops done, one after the other */
	:: REACH == 1 && m_comm[1] && m_comm[MAXOP] && D[0].ph == STABLE && D[0].act == R.cur && R.lc == MAXOP &&
	   R.ph == IDLE && sess[0] == R.cur -> printf("step: REACHED\n"); assert(false)
	/* the clone is alarmed of */
	:: REACH == 2 && alarm && g_two -> printf("step: REACHED\n"); assert(false)
#if RESTORE /* restored, gone forward, rotated: reconcile mode is over */
	:: REACH == 3 && restored && !R.rec && (R.ret & 2) && D[0].ph == STABLE && sess[0] == R.cur ->
		printf("step: REACHED\n"); assert(false)
#endif
#if LANE && TWO
	/* the new hub is in, the old one is out and was noticed */
	:: REACH == 4 && g_two && (alarm || suspect) && sess[0] == R.cur && out[1] -> printf("step: REACHED\n"); assert(false)
	/* the thief was first, and it was noticed */
	:: REACH == 5 && STOLEN && conflict -> printf("step: REACHED\n"); assert(false)
#endif
	:: LIVE && timeout && !(LV) -> printf("step: LV BROKEN\n"); assert(false)
	fi
}

init {
	atomic {
		read_rules();
		D[0].oth = NONE; D[1].act = NONE; D[1].oth = NONE; V[1].act = NONE; V[1].oth = NONE;
		R.pend = NONE; D[0].act = 0; D[0].ph = STABLE; R.cur = 0; nextkey = 1;
#if LANE
		if
		:: CLAIM -> D[0].act = NONE; D[0].ph = NEW; R.cur = NONE; nextkey = 0
		:: else
		fi;
		R.tk = (CLAIM == 1 -> FREE : ABSENT);
#endif
		copyrec(V[0], D[0]);
#if RESTORE
		R.gen = 1; gen[0] = 1; copyreg(B, R);
#endif
		copyreg(W, R); copyreg(X, R);
		hang_up(0); hang_up(1);
		here[0] = 1;
#if TWO
		if :: THIEF -> here[1] = 1; g_two = 1; V[1].ph = NEW; D[1].ph = NEW :: else fi;
#endif
		if :: ROGUE -> own_dev = 1; run Rogue() :: else fi;
		if :: APP -> app = D[0].act; run App() :: else fi;
		run Server(); run World(); run Watch(); run Party(0);
#if TWO
		run Party(1)
#endif
	}
}

/*
 * reason - why a peer was refused: one list for the wire, the log and the counters.
 *
 * One reason per refusal. PEER reasons may be told to an authenticated peer (`reject`, a control
 * command's error, `failed`); LOG reasons are for the log and the counters only, so that a
 * stranger learns nothing. The tokens are part of the protocol: docs/PROTOCOL.md lists them.
 */
#ifndef KT_REASON_H
#define KT_REASON_H

#include "types.h"

enum kt_reason_scope { KT_REASON_SCOPE_PEER, KT_REASON_SCOPE_LOG };

/* X(CODE, "stable.token", SCOPE, "text") */
#define KT_REASON_LIST(X)                                                                          \
	X(NONE, "none", LOG, "no reason")                                                          \
	X(JSON_SYNTAX, "json.syntax", PEER, "not strict JSON")                                     \
	X(JSON_FIELD, "json.field", PEER, "a field is unknown, missing, repeated or malformed")    \
	X(MSG_SIZE, "msg.size", PEER, "a message or part of it is over its limit")                 \
	X(MSG_TYPE, "msg.type", PEER, "a message type that does not belong here")                  \
	X(MSG_VERSION, "msg.version", PEER, "a protocol version we do not speak")                  \
	X(MSG_RATE, "msg.rate", PEER, "too many messages")                                         \
	X(JWS_HEADER, "jws.header", PEER, "the JWS or its header is not ours")                     \
	X(JWS_ALG, "jws.alg", PEER, "the JWS algorithm is not that of the key on record")          \
	X(JWS_SIG, "jws.sig", PEER, "the JWS signature does not verify")                           \
	X(ID_MISMATCH, "id.mismatch", PEER, "device or trust domain is not the session's")         \
	X(SESSION_NONCE, "session.nonce", PEER, "not from this connection (dn or sn)")             \
	X(OP_UNKNOWN, "op.unknown", PEER, "no such operation")                                     \
	X(OP_STALE, "op.stale", PEER, "an older operation than the newest one")                    \
	X(OP_CLOSED, "op.closed", PEER, "the operation is closed")                                 \
	X(OP_RANGE, "op.range", PEER, "an operation number that cannot be")                        \
	X(NONCE_WRONG, "nonce.wrong", PEER, "the nonce is not the one given")                      \
	X(CSR_SYNTAX, "csr.syntax", PEER, "not a well-formed certificate request")                 \
	X(CSR_SIG, "csr.sig", PEER, "the request's own signature does not verify")                 \
	X(CSR_KEY, "csr.key", PEER, "the key is weak, off its curve or of another kind")           \
	X(CSR_BIND, "csr.bind", PEER, "the request is not bound to this device, op and nonce")     \
	X(CSR_EXTENSION, "csr.extension", PEER, "the request asks for what a leaf may not have")   \
	X(KEY_KNOWN, "key.known", PEER, "the key was used before")                                 \
	X(KEY_SECOND, "key.second", PEER, "a second key for one operation")                        \
	X(CERT_CHAIN, "cert.chain", PEER, "a certificate chain does not verify")                   \
	X(CERT_KEY, "cert.key", PEER, "the certificate is not for our key")                        \
	X(CERT_SYNTAX, "cert.syntax", PEER, "not a certificate that can be read")                  \
	X(CERT_USE, "cert.use", PEER, "not a certificate that can be taken over")                  \
	X(CONFIRM_SESSION, "confirm.session", PEER, "confirm must come over the new credential")   \
	X(FP_WRONG, "fp.wrong", PEER, "the fingerprint is not the expected one")                   \
	X(FROZEN, "frozen", PEER, "rotation of the device is frozen, release it first")            \
	X(BUSY, "busy", PEER, "try again later")                                                   \
	X(STORE_FAILED, "store.failed", PEER, "the registry could not be written")                 \
	X(NOT_DURABLE, "not_durable", PEER, "in force, but not on disk")                           \
	X(CLOCK_JUMP, "clock.jump", PEER, "the clock jumped, an operator must confirm it")         \
	X(CLAIM_REFUSED, "claim.refused", PEER, "enrolment refused")                               \
	X(DENIED, "denied", PEER, "not allowed")                                                   \
	X(REVOKED, "revoked", PEER, "revoked by an operator")                                      \
	X(DELETED, "deleted", PEER, "deleted by an operator")                                      \
	X(EXISTS, "exists", PEER, "it exists already")                                             \
	X(NOT_FOUND, "not.found", PEER, "there is no such object")                                 \
	X(STATE, "state", PEER, "not possible in the present state")                               \
	X(COMMAND_UNKNOWN, "command.unknown", PEER, "no such command")                             \
	X(ADMIN_LAST, "admin.last", PEER, "the last admin cannot be removed")                      \
	X(EXPECT, "expect", PEER, "the count is not the expected one")                             \
	X(DISK, "disk", PEER, "the device could not write its disk")                               \
	X(HOOK, "hook", PEER, "a hook of the device failed or took too long")                      \
	X(KEY_STORE, "key.store", PEER, "the device's key store failed")                           \
	X(CERT_UNKNOWN, "cert.unknown", LOG, "the registry does not hold this certificate")        \
	X(CERT_SUPERSEDED, "cert.superseded", LOG, "the credential was replaced")                  \
	X(CERT_REVOKED, "cert.revoked", LOG, "the credential was revoked")                         \
	X(CERT_DATES, "cert.dates", LOG, "the certificate is outside its dates")                   \
	X(CERT_PENDING, "cert.pending", LOG, "a pending credential serves as :trial only")         \
	X(CERT_FOREIGN, "cert.foreign", LOG, "a certificate of another trust domain")              \
	X(CERT_UNDURABLE, "cert.undurable", LOG, "the verdict is not on disk yet, come back")      \
	X(CLIENTID, "clientid", LOG, "the client id is not for this client")                       \
	X(USERNAME, "username", LOG, "the user name is reserved")                                  \
	X(CLEAN_START, "clean.start", LOG, "clean start is required")                              \
	X(AUTH_METHOD, "auth.method", LOG, "extended authentication is not allowed")               \
	X(NOT_ASKED, "not.asked", LOG, "the broker let it in without asking the plugin")           \
	X(HELLO_TIMEOUT, "hello.timeout", LOG, "no hello in time")                                 \
	X(CHALLENGE_TIMEOUT, "challenge.timeout", LOG, "a challenge had no answer in time")        \
	X(CLAIM_TIMEOUT, "claim.timeout", LOG, "an idle claimant")                                 \
	X(TICKET_UNKNOWN, "ticket.unknown", LOG, "a ticket we did not give out")                   \
	X(TICKET_USED, "ticket.used", LOG, "a ticket that was used up by another key")             \
	X(TICKET_EXPIRED, "ticket.expired", LOG, "a ticket past its end")                          \
	X(TICKET_DEVICE, "ticket.device", LOG, "a ticket for another device or group")             \
	X(KEY_UNREGISTERED, "key.unregistered", LOG, "neither ticket nor registered key")          \
	X(KEY_DENIED, "key.denied", LOG, "an operator denied this key")                            \
	X(ACL_TOPIC, "acl.topic", LOG, "a topic that is not for this client")                      \
	X(ACL_WILL, "acl.will", LOG, "a will where none is allowed")                               \
	X(ACL_POINTER, "acl.pointer", LOG, "a client that never passed our door")

enum kt_reason {
#define KT_REASON_ENUM(code, token, scope, text) KT_REASON_##code,
	KT_REASON_LIST(KT_REASON_ENUM) KT_REASON_COUNT
#undef KT_REASON_ENUM
};

/* The stable token; "?" outside the list. Static string. */
const char *kt_reason_name(enum kt_reason reason);
/* One line for a person. Static string. */
const char *kt_reason_text(enum kt_reason reason);
/* True where a peer may be told; a LOG reason is told as "denied" or not at all. */
bool kt_reason_is_for_peer(enum kt_reason reason);
/* KT_REASON_NONE for a token we do not know. */
enum kt_reason kt_reason_from_name(const char *token);

#endif

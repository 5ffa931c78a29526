/*
 * near_link - where the links of a harness lead: to a broker in this process, in the place of TLS.
 */
#ifndef NEAR_LINK_H
#define NEAR_LINK_H

struct broker;

struct fleet_tls { /* what fleet_net->tls points to here */
	struct broker *broker;
};

#endif

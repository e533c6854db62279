/* One function a test word: returns the exit status. */
#ifndef TESTS_H
#define TESTS_H

#include <stdint.h>

uint8_t test_serial(void);
uint8_t test_serial_echo(void);
uint8_t test_serial_irq(void);

uint8_t test_power(void);

uint8_t test_pit(void);

uint8_t test_console(void);
uint8_t test_console_echo(void);
uint8_t test_console_flood(void);
uint8_t test_console_size(void);
uint8_t test_ports(void);

uint8_t test_blk_info(void);
uint8_t test_blk_sum(void);
uint8_t test_blk_write(void);
uint8_t test_blk_discard(void);
uint8_t test_blk_zero(void);
uint8_t test_blk_wce(void);
uint8_t test_blk_irq(void);
uint8_t test_blk_bench(void);

uint8_t test_net_info(void);
uint8_t test_net_echo(void);
uint8_t test_net_client(void);
uint8_t test_net_bad(void);
uint8_t test_net_send(void);
uint8_t test_net_receive(void);
uint8_t test_net_pairs(void);
uint8_t test_rng(void);
uint8_t test_rng_greedy(void);

uint8_t test_vsock(void);
uint8_t test_vsock_bench(void);

uint8_t test_mmio_bench(void);
uint8_t test_kick_bench(void);

uint8_t test_smp_start(void);
uint8_t test_smp_count(void);
uint8_t test_smp_tsc(void);
uint8_t test_smp_clock(void);
uint8_t test_smp_stopped(void);
uint8_t test_smp_work(void);
uint8_t test_smp_end(void);

uint8_t test_fire(void);
uint8_t test_steady(void);

/* Prints {"ops":…,"bytes":…,"cycles":…} */
void print_result(uint64_t ops, uint64_t bytes, uint64_t cycles);

#endif

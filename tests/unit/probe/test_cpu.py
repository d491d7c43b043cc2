"""CPU facts, read from recorded outputs; and this machine's own."""

from __future__ import annotations

from pathlib import Path

from qvirt.probe.cpu import cpu, from_cpuinfo, from_sysctl

# Recorded: /proc/cpuinfo of an EPYC 9004 guest and of an AWS Graviton2; sysctl of a MacBook Pro M1 and M4.
EPYC = """processor\t: 0
vendor_id\t: AuthenticAMD
model name\t: AMD EPYC
flags\t\t: fpu sse4_2 fma avx f16c avx2 smep avx512f avx512dq smap avx512_bf16 avx512_vpopcntdq
bugs\t\t: sysret_ss_attrs

processor\t: 1
model name\t: another
"""
GRAVITON2 = """processor\t: 0
BogoMIPS\t: 50.00
Features\t: fp asimd evtstrm aes pmull sha1 crc32 atomics fphp asimdhp cpuid asimdrdm asimddp ssbs
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x3
CPU part\t: 0xd0c
"""
M1 = """machdep.cpu.cores_per_package: 8
machdep.cpu.brand_string: Apple M1
hw.physicalcpu: 8
hw.logicalcpu: 8
hw.optional.floatingpoint: 1
hw.optional.neon: 1
hw.optional.neon_hpfp: 1
hw.optional.armv8_2_fhm: 1
hw.optional.amx_version: 2
hw.optional.arm.FEAT_SME: 1
hw.optional.arm.FEAT_SME2p1: 0
"""
INTEL_MAC = """machdep.cpu.brand_string: Intel(R) Core(TM) i7-8850H CPU @ 2.60GHz
machdep.cpu.features: FPU VME SSE4.2 AVX1.0 FMA
machdep.cpu.leaf7_features: RDWRFSGSBASE AVX2 BMI2
hw.physicalcpu: 6
hw.logicalcpu: 12
"""


def test_x86() -> None:
    found = from_cpuinfo(EPYC, "x86_64", 2, 2)
    assert found.model == "AMD EPYC"
    assert found.features == ("fma", "avx", "avx2", "avx512f", "avx512dq", "avx512_bf16", "avx512_vpopcntdq")


def test_arm_cores_have_only_numbers() -> None:
    found = from_cpuinfo(GRAVITON2, "aarch64", 64, 64)
    assert (found.model, found.features) == ("Arm Neoverse N1", ("asimd",))
    assert from_cpuinfo(GRAVITON2.replace("0xd0c", "0xfff"), "aarch64", 1, 1).model == "0x41 0xfff"


def test_apple() -> None:
    found = from_sysctl(M1, "arm64")
    assert (found.model, found.physical_cores, found.features) == ("Apple M1", 8, ("neon", "sme"))


def test_intel_mac() -> None:
    found = from_sysctl(INTEL_MAC, "x86_64")
    assert (found.physical_cores, found.logical_cores) == (6, 12)
    assert found.features == ("avx", "fma", "avx2")


def test_nothing_known() -> None:
    assert from_cpuinfo("", "riscv64", 4, 4).model == "unknown"
    assert from_sysctl("", "arm64").physical_cores >= 1


def test_hyperthreads_share_a_core(tmp_path: Path) -> None:
    for number, siblings in enumerate(("0,2", "1,3", "0,2", "1,3")):
        topology = tmp_path / f"sys/devices/system/cpu/cpu{number}/topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(f"{siblings}\n")
    assert cpu(tmp_path).physical_cores == 2


def test_this_machine() -> None:
    found = cpu()
    assert 1 <= found.physical_cores <= found.logical_cores
    assert found.model

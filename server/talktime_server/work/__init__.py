"""What runs beside the calls: the recharge of credits."""
